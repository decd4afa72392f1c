/** What is known of a key: never its secret. */
export interface ApiKey {
  /** The public half: what logs and people call the key. */
  readonly id: string
  readonly tenant: string
  readonly scopes: readonly string[]
  readonly label: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly revokedAt: Date | null
}

/** The columns of an {@link ApiKey}. */
export const API_KEY_COLUMNS = `id, tenant, scopes, label, created_at as "createdAt", expires_at as "expiresAt",
  revoked_at as "revokedAt"`
