// The real Bluesky (PDS, PLC, AppView, and what they need), started by bluesky_network.py. It ends when its standard
// input does.
import { TestNetwork } from '@atproto/dev-env'

const network = await TestNetwork.create({ dbPostgresSchema: 'socialcrm' })
console.log(network.pds.url)
process.stdin.on('end', async () => {
  await network.close()
  process.exit(0)
})
process.stdin.resume()
