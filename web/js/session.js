// The session: managed login with code and PKCE, refresh, sign-out. oidc-client-ts does the protocol.

import { noAnswer, Problem } from "./problem.js";

const { ErrorResponse, UserManager, WebStorageStateStore } = globalThis.oidc;

/** A token that is valid for less than this many seconds is refreshed before it is used. */
const MIN_LIFETIME_SECONDS = 30;
/** How long a sign-out waits for the revocation of the refresh token. */
const REVOCATION_TIMEOUT_MILLISECONDS = 2000;

export class Session {
  #config;
  #manager;
  #refreshing;

  /** `config` is the answer of /api/config. */
  constructor(config) {
    this.#config = config;
    // Tokens are in sessionStorage: a reload of the page stays signed in, other tabs and later
    // visits do not see them. Memory would be no safer, because a script that runs in this page can
    // use the session in both cases. The Content-Security-Policy keeps foreign scripts out.
    const store = () => new WebStorageStateStore({ store: sessionStorage });
    const { issuer, loginUrl } = config;
    this.#manager = new UserManager({
      authority: issuer,
      client_id: config.clientId,
      redirect_uri: `${location.origin}/`,
      scope: [config.scopes].flat().join(" "),
      // Cognito's endpoints. Given here, they save a request, and the page needs no access to the issuer.
      metadata: {
        issuer,
        authorization_endpoint: `${loginUrl}/oauth2/authorize`,
        token_endpoint: `${loginUrl}/oauth2/token`,
        revocation_endpoint: `${loginUrl}/oauth2/revoke`,
      },
      userStore: store(),
      stateStore: store(),
      requestTimeoutInSeconds: 10,
      automaticSilentRenew: false, // `keepFresh` refreshes, so that there is never more than one refresh at a time.
    });
  }

  /** Ends a redirect of the login, if this is one. True if a user is signed in. */
  async resume() {
    const query = new URLSearchParams(location.search);
    if (query.has("code") || query.has("error")) {
      // The code is used once: a reload of the page must not send it again.
      const url = location.href;
      history.replaceState(null, "", location.pathname);
      await this.#completeSignIn(url);
    }
    return (await this.#manager.getUser()) !== null;
  }

  async #completeSignIn(url) {
    try {
      await this.#manager.signinRedirectCallback(url);
    } catch (error) {
      // The text of the login is shown only if the request came from this tab: oidc-client-ts checks
      // `state` first. So a link cannot put words into this page.
      if (error instanceof ErrorResponse) throw new Problem("denied", error.error_description ?? "");
      if (isNetworkError(error)) throw noAnswer();
      if ((await this.#manager.getUser()) === null) throw new Problem("interrupted");
    }
  }

  /** Goes to managed login. `lang` is its parameter for the language. */
  async signIn(language) {
    const lang = language === "pt" ? "pt-BR" : language;
    await this.#manager.signinRedirect({ extraQueryParams: { lang } });
  }

  /** Refreshes the tokens one minute before they expire, and calls back with the problem, if there is one. */
  keepFresh(onRefresh) {
    const refresh = () => this.refresh().then(() => onRefresh(), onRefresh);
    this.#manager.events.addAccessTokenExpiring(refresh);
    // Again, in case there was no network a minute ago.
    this.#manager.events.addAccessTokenExpired(refresh);
  }

  /** An access token that is valid long enough for a request. */
  async accessToken() {
    const user = await this.#manager.getUser();
    if (user === null) throw new Problem("expired");
    // A laptop that slept has missed the timer.
    if (user.expires_in < MIN_LIFETIME_SECONDS) await this.refresh();
    return (await this.#manager.getUser()).access_token;
  }

  /** The `sub` of the user. */
  async user() {
    return (await this.#manager.getUser())?.profile.sub;
  }

  /** When the access token expires. */
  async expiresAt() {
    const user = await this.#manager.getUser();
    return user === null ? undefined : new Date(user.expires_at * 1000);
  }

  /** Gets new tokens with the refresh token. Callers share one request. */
  refresh() {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh() {
    const user = await this.#manager.getUser();
    // Without a refresh token, oidc-client-ts would open a frame, which Cognito does not support.
    if (!user?.refresh_token) return this.#end();
    try {
      await this.#manager.signinSilent();
    } catch (error) {
      if (!(error instanceof ErrorResponse)) throw isNetworkError(error) ? noAnswer() : new Problem("busy");
      // `invalid_grant`: the refresh token expired or was revoked, or a trigger denied the refresh.
      if (/^(invalid|unauthorized|access_denied)/.test(error.error)) return this.#end();
      throw new Problem("busy");
    }
  }

  async #end() {
    await this.#manager.removeUser();
    throw new Problem("expired");
  }

  /** Forgets the tokens, revokes the refresh token, and ends the session of managed login. */
  async signOut() {
    const { clientId, loginUrl } = this.#config;
    const timeout = new Promise((resolve) => setTimeout(resolve, REVOCATION_TIMEOUT_MILLISECONDS));
    // The sign-out must not fail because the revocation does.
    await Promise.race([this.#manager.revokeTokens(["refresh_token"]).catch(() => {}), timeout]);
    await this.#manager.removeUser();
    const query = new URLSearchParams({ client_id: clientId, logout_uri: `${location.origin}/` });
    location.assign(`${loginUrl}/logout?${query}`);
  }

  /** Forgets the tokens of this tab. */
  forget() {
    return this.#manager.removeUser();
  }
}

const isNetworkError = (error) => error instanceof TypeError || error.name === "ErrorTimeout";
