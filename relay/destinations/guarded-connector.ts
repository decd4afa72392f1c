import { type LookupAddress, type LookupAllOptions, lookup as resolve } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import type { AddressRules } from './address-rules.ts'

/** An address was not called because the rules do not allow it. */
class AddressRefused extends Error {
  override readonly name = 'AddressRefused'
  readonly code = 'ADDRESS_REFUSED'
}

/**
 * Opens connections to allowed addresses only. The decision is made about the addresses that the name has just been
 * resolved to, and the connection goes to one of these: a name that is resolved again could lead elsewhere by then. A
 * host that is an address is never resolved, so it is looked at before.
 */
export function guardedConnector(rules: AddressRules, timeoutMs: number): buildConnector.connector {
  const lookup: LookupFunction = (host, options, callback) => {
    const all: LookupAllOptions = { ...options, all: true }
    resolve(host, all, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(error, '', 0)
      const [first] = addresses
      if (
        first === undefined ||
        !rules.allows(
          host.toLowerCase(),
          addresses.map(({ address }) => address),
        )
      ) {
        return callback(new AddressRefused(`${host} leads to an address that is not allowed`), '', 0)
      }
      return options.all === true ? callback(null, addresses) : callback(null, first.address, first.family)
    })
  }
  const connect = buildConnector({ timeout: timeoutMs, lookup })
  return (options, callback) => {
    const host = options.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0 && !rules.allows(host, [host])) {
      callback(new AddressRefused(`${host} is not allowed`), null)
    } else connect(options, callback)
  }
}
