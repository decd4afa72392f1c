/**
 * The nats-server of the tests: the one that is installed, or the file that `NATS_SERVER_BIN` names, to try what other
 * versions do.
 */
export const NATS_BINARY: { readonly binary?: string } = fromEnvironment(process.env['NATS_SERVER_BIN'])

function fromEnvironment(path: string | undefined): { readonly binary?: string } {
  return path === undefined || path === '' ? {} : { binary: path }
}
