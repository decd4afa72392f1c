import { type Account, type Books, discrepancies, type Ledger } from '../shop/ledger.ts'
import { heldForNats } from '../shop/observe.ts'

/** How many processes were killed with SIGKILL. */
export interface Kills {
  readonly services: number
  readonly relays: number
}

/** Prints what the ledger says; the last lines are the ones to look at. */
export async function printReport(books: Books, ledger: Ledger, kills: Kills): Promise<void> {
  const { orders, forgotten, stock, mail } = ledger
  const accounts = [stock, ...(mail === undefined ? [] : [mail])]
  const total = (count: (account: Account) => number) => accounts.reduce((sum, account) => sum + count(account), 0)
  const row = (label: string, value: string) => console.log(`  ${label.padEnd(34)}${value}`)

  console.log()
  row('killed with SIGKILL', `order service ${kills.services} times, relay ${kills.relays} time`)
  row('raw duplicates', `${total((account) => account.rawDuplicates)} (arrived again; the inbox knew them)`)
  row('out of order', `${total(({ outOfOrder }) => outOfOrder.length)} (first arrivals, by key)`)
  if (mail === undefined) row('held for NATS', `${await heldForNats(books)} messages, none failed`)
  for (const line of discrepancies(ledger)) row('WRONG', line)
  console.log()
  const subscribers = mail === undefined ? '' : ` = subscriber effects ${mail.effects}`
  console.log(`orders ${orders} = handler effects ${stock.effects}${subscribers}`.replaceAll('=', mark(ledger)))
  console.log(
    `lost ${forgotten.length + total(({ lost }) => lost.length)}, phantom ${total(({ phantom }) => phantom.length)}, ` +
      `duplicates in effect ${total(({ repeated }) => repeated.length)}`,
  )
}

function mark({ orders, stock, mail }: Ledger): '=' | '≠' {
  return stock.effects === orders && (mail?.effects ?? orders) === orders ? '=' : '≠'
}
