// Three tabs of the example presence in front of three peers, of which the one
// that serves them is killed, twice.
import { ask, launch, run, whileDown } from "./stage.mjs"
import { Tab, told, unharmed } from "./tab.mjs"

const { PAGE } = process.env
const browser = await launch()
const context = await browser.newContext()

await run(browser, async () => {
  const tabs = []
  for (const name of ["Ada", "Ben", "Cleo"]) tabs.push(await Tab.open(context, PAGE, name))
  for (const tab of tabs) await tab.sees("Ada", "Ben", "Cleo")
  await told("at first", ...tabs)
  for (const [kill, word] of [["kill", "at another"], ["kill another", "at a third"]]) {
    await whileDown(async () => {
      const began = Date.now()
      await ask(kill)
      await told(word, ...tabs)
      console.log(`${kill}: told everybody ${Date.now() - began} ms later`)
    })
    await unharmed(...tabs)
    if (kill === "kill") await ask("restart")
  }
})
