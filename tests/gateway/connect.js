// Signs as Atlassian does for Connect, by atlassian-jwt, and serves the public key as its key servers do.
// Writes its address; then for each order, one JSON object a line, the token:
// { claims, method?, url?, kid?, alg?, secret?, server? }: `url` is what is signed for; `alg` is RS256, or HS256 with the
// secret (the public key where it is "public"), or none.
const crypto = require("crypto");
const http = require("http");
const path = require("path");
const readline = require("readline");
const { createRequire } = require("module");

const load = createRequire(path.join(process.env.GATEWAY_MODULES, "/"));
const jwt = load("atlassian-jwt");
const options = {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
};
const known = crypto.generateKeyPairSync("rsa", options);
const stranger = crypto.generateKeyPairSync("rsa", options);
const encode = value => Buffer.from(JSON.stringify(value)).toString("base64url");
let asked = 0;
const server = http.createServer((req, res) => {
  asked += 1;
  if (req.url !== "/asap/key-1") return res.writeHead(404).end();
  return res.writeHead(200, { "content-type": "application/x-pem-file" }).end(known.publicKey);
});

function token({ claims, method, url, kid = "asap/key-1", alg = "RS256", secret, signer }) {
  const signed = { ...claims };
  if (url) signed.qsh = jwt.createQueryStringHash(jwt.fromMethodAndUrl(method, url), false, "");
  if (alg === "none") return `${encode({ typ: "JWT", alg, kid })}.${encode(signed)}.`;
  if (alg === "HS256") {
    const key = secret === "public" ? known.publicKey : secret;
    if (secret !== "public") return jwt.encodeSymmetric(signed, key, jwt.SymmetricAlgorithm.HS256);
    const text = `${encode({ typ: "JWT", alg, kid })}.${encode(signed)}`;
    return `${text}.${crypto.createHmac("sha256", key).update(text).digest("base64url")}`;
  }
  const { privateKey } = signer === "stranger" ? stranger : known;
  return jwt.encodeAsymmetric(signed, privateKey, jwt.AsymmetricAlgorithm.RS256, { kid });
}

server.listen(0, "127.0.0.1", () => {
  const write = line => process.stdout.write(`${JSON.stringify(line)}\n`);
  write({ url: `http://127.0.0.1:${server.address().port}` });
  const orders = readline.createInterface({ input: process.stdin });
  orders.on("line", line => {
    const order = JSON.parse(line);
    if (order.close) return server.close(() => write({ closed: true })), server.closeAllConnections();
    return write(order.count ? { asked } : { token: token(order) });
  });
  orders.on("close", () => process.exit(0));
});
