/**
 * Loaded into every program of the shop before its own code, so that the programs themselves need not know that they
 * are on a stage: they end when the one who started them is gone, however it went, and in tests they die on cue.
 */
import { armFailpoints } from 'postcommit/protocol'

process.once('disconnect', () => process.exit(1))
process.channel?.unref()

const { NODE_ENV, POSTCOMMIT_FAILPOINTS } = process.env
if (NODE_ENV === 'test' && POSTCOMMIT_FAILPOINTS !== undefined) armFailpoints(POSTCOMMIT_FAILPOINTS)
