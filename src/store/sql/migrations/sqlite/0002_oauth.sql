CREATE TABLE oauth_clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    redirects TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);

CREATE TABLE oauth_requests (
    digest TEXT PRIMARY KEY,
    code BOOLEAN NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    browser TEXT NOT NULL,
    client TEXT NOT NULL,
    redirect TEXT NOT NULL,
    challenge TEXT NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL,
    state TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    family TEXT
);
CREATE INDEX oauth_requests_account ON oauth_requests (account);
CREATE INDEX oauth_requests_expires_at ON oauth_requests (expires_at);

CREATE TABLE oauth_families (
    family TEXT PRIMARY KEY REFERENCES refresh_families (id) ON DELETE CASCADE,
    client TEXT NOT NULL,
    resource TEXT NOT NULL,
    scopes TEXT NOT NULL
);
CREATE INDEX oauth_families_client ON oauth_families (client);
