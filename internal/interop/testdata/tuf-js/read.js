// Reads a TUF repository with tuf-js: node read.js ROOT.JSON BASE-URL WORK-DIR TARGET…
// Prints a line of JSON for each target: {"path":…,"length":…,"file":…}.
const fs = require('fs'), path = require('path');
const { Updater } = require('tuf-js');
const [root, base, work, ...targets] = process.argv.slice(2);

(async () => {
  const metadataDir = path.join(work, 'metadata'), targetDir = path.join(work, 'targets');
  fs.mkdirSync(metadataDir, { recursive: true });
  fs.mkdirSync(targetDir, { recursive: true });
  if (!fs.existsSync(path.join(metadataDir, 'root.json'))) fs.copyFileSync(root, path.join(metadataDir, 'root.json'));
  const updater = new Updater({ metadataDir, targetDir, metadataBaseUrl: base + 'metadata', targetBaseUrl: base + 'targets' });
  await updater.refresh();
  for (const name of targets) {
    const info = await updater.getTargetInfo(name);
    if (!info) { console.log(JSON.stringify({ path: name })); continue; }
    const file = await updater.downloadTarget(info);
    console.log(JSON.stringify({ path: name, length: info.length, file }));
  }
})().catch((err) => { console.error(err); process.exit(1); });
