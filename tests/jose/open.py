"""Opens what the server made by Python's joserfc: a keyset under its root, a lease, and the reply to an offline request.

One JSON object on standard input, one on standard output.
"""

import base64
import json
import sys
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe, jws
from joserfc.jwk import OctKey, OKPKey


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def header_of(compact):
    return json.loads(decoded(compact.split(".")[0]))


def verified(signed, jwk, typ):
    public = {name: jwk[name] for name in ("kty", "crv", "x")}
    opened = jws.deserialize_compact(signed, OKPKey.import_key(public), algorithms=["EdDSA"])
    assert opened.protected["typ"] == typ, opened.protected
    return json.loads(opened.payload)


def keyset_of(signed, root):
    keyset = verified(signed, root, "qt-keyset+jwt")

    def key(compact, use):
        kid = header_of(compact)["kid"]
        return next(jwk for jwk in keyset["keys"] if jwk["kid"] == kid and jwk["use_for"] == use)

    return keyset, key


def lease_of(artifact, lease_id, secret, key):
    derived = HKDF(hashes.SHA256(), 32, salt=uuid.UUID(lease_id).bytes, info=b"qt1:lease").derive(decoded(secret))
    opened = jwe.decrypt_compact(artifact, OctKey.import_key(derived), algorithms=["dir", "A256GCM"])
    signed = opened.plaintext.decode()
    return {"header": opened.protected, "claims": verified(signed, key(signed, "lease"), "qt-lease+jwt")}


def reply_of(compact, recipient):
    opened = jwe.decrypt_compact(compact, OKPKey.import_key(recipient), algorithms=["ECDH-ES", "A256GCM"])
    return {"header": opened.protected, "content": json.loads(opened.plaintext)}


made = json.load(sys.stdin)
keyset, key = keyset_of(made["keyset"], made["root"])
reply = reply_of(made["reply"], made["recipient"])
content = reply["content"]
_, offline_key = keyset_of(content["keyset"], made["root"])
json.dump(
    {
        "keyset": keyset,
        "lease": lease_of(made["artifact"], made["lease_id"], made["secret"], key),
        "reply": reply,
        "token": verified(content["token"], offline_key(content["token"], "token"), "qt-decision+jwt"),
        "offline_lease": lease_of(content["artifact"], content["lease_id"], content["secret"], offline_key),
    },
    sys.stdout,
)
