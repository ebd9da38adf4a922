"""The other side of interop_python.rs: reads what the Rust crate made, and makes the same by joserfc.

One JSON object on standard input, one on standard output.
"""

import json
import sys

from joserfc import jwe, jws
from joserfc.jwk import OctKey, OKPKey

ours = json.load(sys.stdin)
public = OKPKey.import_key(ours["jwk"])
private = OKPKey.import_key({**ours["jwk"], "d": ours["seed"]})
content_key = OctKey.import_key({"kty": "oct", "k": ours["content_key"]})

signed = jws.deserialize_compact(ours["jws"], public, algorithms=["EdDSA"])
recipient = OKPKey.import_key({**ours["recipient"], "d": ours["recipient_d"]})
agreed = ["ECDH-ES", "A256GCM"]
opened_agreed = jwe.decrypt_compact(ours["agreed_jwe"], recipient, algorithms=agreed)
opened = jwe.decrypt_compact(ours["jwe"], content_key, algorithms=["dir", "A256GCM"])

jws_header = {"alg": "EdDSA", "typ": "example+jwt", "kid": public.thumbprint()}
agreed_header = {"alg": "ECDH-ES", "enc": "A256GCM", "typ": "example+jwe"}
jwe_header = {"alg": "dir", "enc": "A256GCM", "typ": "example+jwe", "kid": "some-lease"}
json.dump(
    {
        "thumbprint": public.thumbprint(),
        "read_jws": {"header": signed.protected, "payload": signed.payload.decode()},
        "read_jwe": {"header": opened.protected, "payload": opened.plaintext.decode()},
        "read_agreed_jwe": {"header": opened_agreed.protected, "payload": opened_agreed.plaintext.decode()},
        "agreed_jwe": jwe.encrypt_compact(agreed_header, "from Python ü", recipient, algorithms=agreed),
        "jws": jws.serialize_compact(jws_header, "from Python ü", private, algorithms=["EdDSA"]),
        "jwe": jwe.encrypt_compact(jwe_header, "from Python ü", content_key, algorithms=["dir", "A256GCM"]),
    },
    sys.stdout,
)
