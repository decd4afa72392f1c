/** Other versions of pg, installed under names of their own; what is used of them has the types of the newest. */
declare module 'pg-8.11' {
  export { default } from 'pg'
}
declare module 'pg-8.16' {
  export { default } from 'pg'
}
