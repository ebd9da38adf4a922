// Opens what the server made by npm's `jose`: a keyset under its root, a lease, and the reply to an offline request.
//
// One JSON object on standard input, one on standard output. QT_JOSE is the folder that has `node_modules`.

import { hkdfSync } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const resolved = createRequire(`${process.env.QT_JOSE}/`).resolve("jose");
const jose = await import(pathToFileURL(resolved));

const text = (bytes) => new TextDecoder().decode(bytes);

async function verified(jws, jwk, typ) {
  const key = await jose.importJWK(jwk, "EdDSA");
  const { payload, protectedHeader } = await jose.compactVerify(jws, key, { algorithms: ["EdDSA"] });
  if (protectedHeader.typ !== typ) throw new Error(`typ is ${protectedHeader.typ}`);
  return JSON.parse(text(payload));
}

async function keysetOf(jws, root) {
  const keyset = await verified(jws, root, "qt-keyset+jwt");
  const key = (signed, use) => {
    const { kid } = jose.decodeProtectedHeader(signed);
    return keyset.keys.find((jwk) => jwk.kid === kid && jwk.use_for === use);
  };
  return { keyset, key };
}

async function leaseOf(artifact, id, secret, key) {
  const salt = Buffer.from(id.replaceAll("-", ""), "hex");
  const cek = hkdfSync("sha256", Buffer.from(secret, "base64url"), salt, "qt1:lease", 32);
  const options = { keyManagementAlgorithms: ["dir"], contentEncryptionAlgorithms: ["A256GCM"] };
  const opened = await jose.compactDecrypt(artifact, new Uint8Array(cek), options);
  const signed = text(opened.plaintext);
  return { header: opened.protectedHeader, claims: await verified(signed, key(signed, "lease"), "qt-lease+jwt") };
}

async function replyOf(jwe, recipient) {
  const options = { keyManagementAlgorithms: ["ECDH-ES"], contentEncryptionAlgorithms: ["A256GCM"] };
  const opened = await jose.compactDecrypt(jwe, await jose.importJWK(recipient, "ECDH-ES"), options);
  return { header: opened.protectedHeader, content: JSON.parse(text(opened.plaintext)) };
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
const made = JSON.parse(input);

const { keyset, key } = await keysetOf(made.keyset, made.root);
const lease = await leaseOf(made.artifact, made.lease_id, made.secret, key);
const reply = await replyOf(made.reply, made.recipient);
const offline = await keysetOf(reply.content.keyset, made.root);
const { content } = reply;
process.stdout.write(
  JSON.stringify({
    keyset,
    lease,
    reply,
    token: await verified(content.token, offline.key(content.token, "token"), "qt-decision+jwt"),
    offline_lease: await leaseOf(content.artifact, content.lease_id, content.secret, offline.key),
  }),
);
