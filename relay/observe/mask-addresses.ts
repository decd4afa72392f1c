/** Masks `user:password@` of every address in a text. */
export function maskAddresses(text: string): string {
  // Digits before a slash are a port, and an @ further on belongs to the path.
  return text.replace(/(:\/\/[^\s:@/"\\]*):(?!\d{1,5}\/)[^\s@"\\]+@/g, '$1:***@')
}
