import { BlockList, isIP, isIPv6 } from 'node:net'

/** Which addresses may be called that come with what is handed in, instead of from the configuration. */
export interface AddressRulesOptions {
  /**
   * Host names (`api.example.com`, `*.example.com`), and networks (`10.1.0.0/16`, `192.168.1.7`). A name that is listed
   * may be called where it leads to public addresses; what leads to others, loopback, private networks, the metadata
   * service of a cloud, only where their network is listed. A network alone allows every name that leads there.
   */
  readonly allow: readonly string[]
  /** Ports and ranges of ports (`8000-8999`); default 80 and 443. */
  readonly ports?: readonly string[]
}

/** What may be called. */
export interface AddressRules {
  /** Why a URL may not be called whatever its name leads to; undefined: that depends on the addresses. */
  problemOf(url: URL): string | undefined
  /** Whether a name that leads to these addresses may be called. One address that may not is enough to refuse. */
  allows(host: string, addresses: readonly string[]): boolean
}

/**
 * Networks that are not the public internet, from the registries of special-purpose addresses; also those that only
 * wrap other addresses (6to4, NAT64, Teredo), behind which anything may be. Addresses of version 4 in version 6 are
 * looked up as what they stand for.
 *
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
const NOT_PUBLIC = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24'],
  ...['198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'],
]
/** Of version 6 only this block is handed out to the public; and of it not these. */
const PUBLIC_V6 = '2000::/3'
const NOT_PUBLIC_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20']

const PORTS = ['80', '443']

/**
 * Reads the rules.
 * @throws RangeError naming the entry that is none.
 */
export function readAddressRules({ allow, ports = PORTS }: AddressRulesOptions): AddressRules {
  const networks = blockList(allow.filter(isNetwork))
  const names = allow.filter((entry) => !isNetwork(entry)).map(readName)
  const ranges = ports.map(readPorts)
  const isListed = (host: string): boolean => names.some((name) => matches(name, host))
  return {
    problemOf(url) {
      const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80))
      if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'neither http nor https'
      if (url.username !== '' || url.password !== '') return 'it has a user or a password'
      if (!ranges.some(({ from, to }) => from <= port && port <= to)) return `port ${port} is not allowed`
      const host = hostOf(url)
      const isCertain = isIP(host) !== 0
      if (isCertain && !this.allows(host, [host])) return 'the address is not allowed'
      // With a network in the list it takes the addresses to know.
      if (!isCertain && networks.rules.length === 0 && !isListed(host)) return 'the host is not allowed'
      return undefined
    },
    allows(host, addresses) {
      const isPublicEnough = isListed(host)
      return addresses.length > 0 && addresses.every((one) => isIn(networks, one) || (isPublicEnough && isPublic(one)))
    },
  }
}

/** The host of a URL as names and addresses are compared: without the brackets of version 6. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '').toLowerCase()
}

function isPublic(address: string): boolean {
  if (isIn(SPECIAL, address)) return false
  return !isIPv6(address) || isIn(GLOBAL_V6, address)
}

function isIn(list: BlockList, address: string): boolean {
  // What is no address is in no list, and so allowed nowhere.
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

function isNetwork(entry: string): boolean {
  return isIP(entry.split('/', 1)[0] ?? '') !== 0
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) {
    const [address = '', length] = network.split('/')
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    const bits = length === undefined ? (family === 'ipv6' ? 128 : 32) : Number(length)
    if (!/^\d{1,3}$/.test(length ?? '0') || network.split('/').length > 2)
      throw new RangeError(`${network} is no network`)
    list.addSubnet(address, bits, family)
  }
  return list
}

function readName(entry: string): string {
  if (/^(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_-]+$/i.test(entry)) return entry.toLowerCase()
  throw new RangeError(`${entry} is neither a host name nor a network`)
}

function matches(name: string, host: string): boolean {
  return name.startsWith('*.') ? host.endsWith(name.slice(1)) : host === name
}

function readPorts(entry: string): { readonly from: number; readonly to: number } {
  const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(entry) ?? []
  if (from === undefined) throw new RangeError(`${entry} is neither a port nor a range of ports`)
  return { from: Number(from), to: Number(to ?? from) }
}

const SPECIAL = blockList([...NOT_PUBLIC, ...NOT_PUBLIC_V6])
const GLOBAL_V6 = blockList([PUBLIC_V6])
