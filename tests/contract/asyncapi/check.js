// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) the virtjob authors

// Parses the AsyncAPI document named on the command line. A diagnostic of severity error is a failure; others are shown.
// Then the examples of the events go through validate_events, the program named after it, for the parser leaves alone
// what is behind a reference.

const { spawnSync } = require('node:child_process');
const { Parser, fromFile } = require('@asyncapi/parser');

// One event a line. 0 where all of them keep schemas/event.json.
function checkExamples(document, validator) {
    const payloads = document.messages().all().flatMap((message) => message.examples().all().map((e) => e.payload()));
    const events = payloads.filter((payload) => payload.specversion);
    const run = spawnSync(validator, { input: events.map((event) => JSON.stringify(event) + '\n').join('') });
    process.stdout.write(`${run.stdout}${run.stderr}`);
    console.log(`${events.length} examples of events`);
    return events.length > 0 && run.status === 0 ? 0 : 1;
}

async function main(path, validator) {
    const { document, diagnostics } = await fromFile(new Parser(), path).parse();
    const names = ['error', 'warning', 'information', 'hint'];
    for (const found of diagnostics)
        console.log(`${names[found.severity]}: ${found.path.join('/')}: ${found.message} (${found.code})`);
    if (!document || diagnostics.some((found) => found.severity === 0))
        return 1;
    const messages = document.messages().all().length;
    console.log(`${document.channels().all().length} channels, ${document.operations().all().length} operations,`,
                `${messages} messages`);
    return messages > 0 ? checkExamples(document, validator) : 1;
}

main(process.argv[2], process.argv[3]).then((status) => process.exit(status));
