import { runProgram } from './commands/program.ts'

// The one place that touches the process: what it was given, what it writes, how it ends.
const stop = new AbortController()
let listening = false

function listenForStop(): AbortSignal {
  listening = true
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    process.on(signal, () => {
      // Asked twice: whoever asks does not want to wait for the drain.
      if (stop.signal.aborted) process.exit(128 + number)
      stop.abort()
    })
  }
  return stop.signal
}

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', () => {
    // Nobody reads any more (`postcommit tail | head`): the same as being told to stop.
    if (listening) stop.abort()
    else process.exit()
  })
}

await runProgram(process.argv.slice(2), {
  cwd: process.cwd(),
  env: process.env,
  out: (line) => process.stdout.write(`${line}\n`),
  err: (line) => process.stderr.write(`${line}\n`),
  finish(code) {
    process.exitCode = code
  },
  end: (code) => process.exit(code ?? process.exitCode),
  stopSignal: listenForStop,
})
