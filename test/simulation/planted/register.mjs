import { register } from 'node:module'

const text = process.env.POSTCOMMIT_SIMULATION_PLANTED
const root = new URL('../../../', import.meta.url).href
register('./loader.mjs', import.meta.url, {
  data: { root, planted: text === undefined ? undefined : JSON.parse(text) },
})
