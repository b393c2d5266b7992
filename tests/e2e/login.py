"""Patches of MiniStack for managed login: refreshed tokens, and the end of a session.

Each patch removes one difference from AWS, as in stand_in.py.
"""

from urllib.parse import parse_qs

from ministack import app
from ministack.services import cognito


def patch_refreshed_tokens():
    """A refreshed token has the time of the sign-in as auth_time, which OIDC clients compare. MiniStack sets its own.

    For tokens of managed login, MiniStack also gives the trigger no attributes and no groups when it refreshes the
    access token. Without its own list of these tokens, it refreshes them as it does those of the SDK.
    """
    original, sign_ins = cognito._signed_jwt, {}

    def signed_jwt(claims, *arguments):
        if "auth_time" in claims:
            claims = {**claims, "auth_time": sign_ins.setdefault(claims["origin_jti"], claims["auth_time"])}
        return original(claims, *arguments)

    class NoTokens(dict):
        def __setitem__(self, token, _):
            pass

    cognito._signed_jwt, cognito._refresh_tokens = signed_jwt, NoTokens()


def patch_revocation():
    """MiniStack revokes tokens through Cognito's API only, and does not know the endpoint /oauth2/revoke."""
    original = app._handle_cognito_body_request

    async def handle(method, path, headers, body, query):
        if (method, path) != ("POST", "/oauth2/revoke"):
            return await original(method, path, headers, body, query)
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        return cognito._revoke_token({"ClientId": form.get("client_id"), "Token": form.get("token")})

    app._handle_cognito_body_request = handle
