"""Sign-in with USER_SRP_AUTH (Secure Remote Password): the client proves that it knows the password without sending it.

The AWS SDKs for web and mobile sign in the same way. By default, the app client of the template allows no flow that
sends the password itself.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timezone

# The 3072-bit group of RFC 5054, with generator 2. Cognito uses this group.
N = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"
    "ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
G = 2


def sign_in(cognito, user_pool_id, client_id, username, password):
    """Signs a user in. Returns AccessToken, IdToken and RefreshToken."""
    a = secrets.randbits(256)
    big_a = pow(G, a, N)
    challenge = cognito.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_SRP_AUTH",
        AuthParameters={"USERNAME": username, "SRP_A": f"{big_a:x}"},
    )["ChallengeParameters"]
    pool_name = user_pool_id.split("_")[1]
    user = challenge["USER_ID_FOR_SRP"]
    key = _session_key(f"{pool_name}{user}:{password}", challenge["SALT"], a, big_a, int(challenge["SRP_B"], 16))
    # Cognito expects English names and a day without a leading zero. strftime would use the locale of the machine.
    now = datetime.now(timezone.utc)
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[now.month - 1]
    timestamp = (
        f"{'Mon Tue Wed Thu Fri Sat Sun'.split()[now.weekday()]} {month} {now.day} {now:%H:%M:%S} UTC {now.year}"
    )
    secret_block = challenge["SECRET_BLOCK"]
    proof = (pool_name + user).encode() + base64.b64decode(secret_block) + timestamp.encode()
    return cognito.respond_to_auth_challenge(
        ClientId=client_id,
        ChallengeName="PASSWORD_VERIFIER",
        ChallengeResponses={
            "USERNAME": user,
            "TIMESTAMP": timestamp,
            "PASSWORD_CLAIM_SECRET_BLOCK": secret_block,
            "PASSWORD_CLAIM_SIGNATURE": base64.b64encode(_hmac(key, proof)).decode(),
        },
    )["AuthenticationResult"]


def _session_key(identity, salt, a, big_a, big_b):
    k = _hash(_padded(N) + _padded(G))
    u = _hash(_padded(big_a) + _padded(big_b))
    x = _hash(_padded(int(salt, 16)) + hashlib.sha256(identity.encode()).digest())
    s = pow(big_b - k * pow(G, x, N), a + u * x, N)
    return _hmac(_hmac(_padded(u), _padded(s)), b"Caldera Derived Key\x01")[:16]


def _padded(number):
    # If the highest bit is set, a zero byte comes first, as in the byte array of Java's BigInteger.
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _hash(data):
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


def _hmac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()
