import { ERRORS } from 'postcommit'

const INTRODUCTION = `# Errors

<!-- Written by \`npm run docs\` from src/protocol/errors.ts. -->

Everything postcommit throws on purpose is a \`PostcommitError\`. Its \`code\` is stable, and a program branches on it.
\`message\` is a text to read, and it may change. \`action\` says what to do. \`retryable\` says whether the same call can
succeed later without a change. Words in braces are replaced by the values that were found.
`

/** The text of docs/errors.md. */
export function errorDocs(): string {
  const entries = Object.entries(ERRORS).map(
    ([code, { message, action, retryable }]) => `## ${code}

${wrapped(asText(sentence(message)))}

${wrapped(`**What to do.** ${asText(action)}`)}

Retryable: ${retryable ? 'yes' : 'no'}
`,
  )
  return [INTRODUCTION, ...entries].join('\n')
}

function sentence(message: string): string {
  const text = `${message.charAt(0).toUpperCase()}${message.slice(1)}`
  return /[.:}]$/.test(text) ? text : `${text}.`
}

/** Placeholders and names are not to be read as Markdown or HTML. */
function asText(text: string): string {
  return text.replaceAll('\n', ' ').replace(/\{\w+\}|\b\w*_\w+\b/g, (name) => `\`${name}\``)
}

/** In lines of 120 columns. */
function wrapped(text: string): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > 120) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines.join('\n')
}
