// An app over https: says where it is, and answers every call with 200. Arguments: the files of its key and certificate.
const fs = require("fs");
const https = require("https");

const [key, cert] = process.argv.slice(2).map(file => fs.readFileSync(file));
const server = https.createServer({ key, cert }, (req, res) => {
  req.resume().on("end", () => res.writeHead(200, { "content-type": "application/json" }).end("{}"));
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${JSON.stringify({ url: `https://localhost:${server.address().port}` })}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));
