// Validates WGSL with Dawn's front end, Tint, where there is no `tint` program:
//   node tint.mjs CACHE/npm/node_modules/webgpu FILE...
// Dawn's null backend compiles nothing, but reads every shader as Chrome does.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const [folder, ...files] = process.argv.slice(2);
const { create, globals } = await import(join(resolve(folder), 'index.js'));
Object.assign(globalThis, globals);
const gpu = create(['backend=null']);
const adapter = await gpu.requestAdapter();
const device = await adapter.requestDevice({ requiredFeatures: [...adapter.features] });
let failed = 0;
for (const file of files) {
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code: readFileSync(file, 'utf8') });
  const { messages } = await module.getCompilationInfo();
  const error = await device.popErrorScope();
  if (error) {
    failed++;
    console.log(`${file}: ${error.message}`);
    for (const { type, lineNum, linePos, message } of messages) {
      console.log(`${file}:${lineNum}:${linePos}: ${type}: ${message}`);
    }
  }
}
device.destroy();
process.exitCode = failed ? 1 : 0;
