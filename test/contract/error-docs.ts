import { ERRORS } from 'postcommit'

const INTRODUCTION = `# Errors

<!-- Written by \`npm run docs\` from src/protocol/errors.ts. -->

Everything postcommit throws on purpose is a \`PostcommitError\`. Its \`code\` is stable and is what a program branches on; \`message\` is for people and may change; \`action\` says what to do;
\`retryable\` says whether the same call can succeed later although nobody changed anything. Words in braces are replaced by what was found.
`

/** The text of docs/errors.md. */
export function errorDocs(): string {
  const entries = Object.entries(ERRORS).map(
    ([code, { message, action, retryable }]) => `## ${code}

${asText(sentence(message))}

**What to do.** ${asText(action)}

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
