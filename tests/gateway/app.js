// An app behind the gateway: atlassian-connect-express with its own verification on, and jose for calls of Forge.
// Arguments: its base URL, its app key, its Forge app id, the key server of installs, the JWKS of Forge; and, where it is
// to send copies of its hooks, the URL of a realm at a gateway and a token for that.
// Writes its address, then each call that it took or refused, as one JSON object a line.
const fs = require("fs");
const os = require("os");
const path = require("path");
const { createRequire } = require("module");

const load = createRequire(path.join(process.env.GATEWAY_MODULES, "/"));
const [baseUrl, appKey, forgeApp, keyServer, jwks, gateway, copyToken] = process.argv.slice(2);
process.env.CONNECT_KEYS_CDN_URL = keyServer;
process.env.NODE_ENV = "production";

const home = fs.mkdtempSync(path.join(os.tmpdir(), "gateway-app-"));
process.chdir(home);
process.on("exit", () => fs.rmSync(home, { recursive: true }));
process.stdin.on("end", () => process.exit(0)).resume();
const store = { adapter: "memory" };
const config = { production: { localBaseUrl: baseUrl, store }, product: "jira", appKey };
fs.writeFileSync("config.json", JSON.stringify(config));
const lifecycle = { installed: "/installed", uninstalled: "/uninstalled", enabled: "/enabled", disabled: "/disabled" };
const authentication = { type: "jwt" };
const descriptor = { key: appKey, name: "app", baseUrl: "{{localBaseUrl}}", authentication, lifecycle, modules: {} };
fs.writeFileSync("atlassian-connect.json", JSON.stringify(descriptor));

const express = load("express");
const ace = load("atlassian-connect-express");
const jose = load("jose");

// What its stores do, in memory.
ace.store.register("memory", () => {
  const kept = new Map();
  const name = (key, client) => `${client}:${key}`;
  return {
    get: async (key, client) => kept.get(name(key, client)) ?? null,
    saveInstallation: async (value, client) => (kept.set(name("clientInfo", client), value), value),
    set: async (key, value, client) => (kept.set(name(key, client), value), value),
    del: async (key, client) => void kept.delete(name(key, client)),
  };
});

const app = express();
app.set("env", "production");
const say = line => fs.writeSync(1, `${JSON.stringify(line)}\n`);
app.use(express.json({ limit: "4mb", verify: (req, _, bytes) => (req.raw = bytes.toString()) }));
app.use((req, res, next) => {
  res.on("finish", () => {
    const { method, originalUrl: url, headers, raw: body } = req;
    say({ method, url, headers, body, status: res.statusCode });
  });
  next();
});
// What the app took goes on to the gateway, headers and all.
const HOOKS = { "/installed": "connect/installed", "/uninstalled": "connect/uninstalled", "/enabled": "connect/enabled" };
if (gateway) {
  app.use((req, res, next) => {
    const { authorization } = req.headers;
    const headers = { authorization, "content-type": "application/json", "x-realm-ledger-token": copyToken };
    res.on("finish", () => {
      if (res.statusCode > 299 || !HOOKS[req.path]) return;
      fetch(`${gateway}/${HOOKS[req.path]}`, { method: "POST", headers, body: req.raw }).catch(error => say({ error: error.message }));
    });
    next();
  });
}
const addon = ace(app, { config: {} });

const keys = jose.createRemoteJWKSet(new URL(jwks));
const ofForge = (req, res, next) => {
  const [, token] = (req.headers.authorization ?? "").split(" ");
  const expected = { audience: forgeApp, issuer: "forge/invocation-token" };
  jose.jwtVerify(token ?? "", keys, expected).then(() => next(), error => res.status(401).send(error.message));
};
const ofEither = (req, res, next) =>
  /^bearer /i.test(req.headers.authorization ?? "") ? ofForge(req, res, next) : addon.authenticate()(req, res, next);

app.post("/uninstalled", addon.authenticateInstall(), (_, res) => res.status(204).send());
app.post(["/enabled", "/disabled"], addon.authenticate(), (_, res) => res.status(204).send());
app.get("/migration/status", ofEither, (_, res) => res.set("x-app", "kept").json({ status: "ready-to-commit" }));
app.post("/migration/:step", ofEither, (req, res) => {
  if (req.body.migrationId === 13) return res.status(409).json({ errorResponseCode: "E0004" });
  return res.status(200).json({ done: req.params.step });
});
app.post("/forge", ofForge, (_, res) => res.set("x-app", "kept").status(202).send("taken"));

// Routes of the library are there in the next tick.
setTimeout(() => {
  const server = app.listen(0, "127.0.0.1", () => say({ url: `http://127.0.0.1:${server.address().port}` }));
}, 50);
