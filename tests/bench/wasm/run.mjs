// Runs steps of Python in the WebAssembly build of MicroPython and prints what they print.
//
//     node run.mjs /path/to/micropython.mjs <job.json
//
// The job: {"heap": bytes, "files": {path: base64}, "steps": [[code, ms to let tasks run after it], ...]}.
// Garbage is collected only between steps: inside one, `gc.collect()` just asks for it.

import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";

const { loadMicroPython } = await import(pathToFileURL(process.argv[2]));
const job = JSON.parse(readFileSync(0, "utf8"));
const line = (text) => process.stdout.write(text + "\n");
const python = await loadMicroPython({ heapsize: job.heap, pystack: 16384, stdout: line, stderr: line });
for (const [path, content] of Object.entries(job.files)) {
    python.FS.mkdirTree(dirname(path));
    python.FS.writeFile(path, Buffer.from(content, "base64"));
}
for (const [code, ms] of job.steps) {
    try {
        python.runPython(code);
    } catch (error) {
        process.stderr.write(error.message + "\n");
        process.exit(1);
    }
    await new Promise((resolve) => setTimeout(resolve, ms));
}
process.exit(0); // the program's tasks would go on for ever
