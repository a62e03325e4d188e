// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) the virtjob authors

// Parses the AsyncAPI document named on the command line. A diagnostic of severity error is a failure; others are shown.

const { Parser, fromFile } = require('@asyncapi/parser');

async function main(path) {
    const { document, diagnostics } = await fromFile(new Parser(), path).parse();
    const names = ['error', 'warning', 'information', 'hint'];
    for (const found of diagnostics)
        console.log(`${names[found.severity]}: ${found.path.join('/')}: ${found.message} (${found.code})`);
    if (!document || diagnostics.some((found) => found.severity === 0))
        return 1;
    const messages = document.messages().all().length;
    console.log(`${document.channels().all().length} channels, ${document.operations().all().length} operations,`,
                `${messages} messages`);
    return messages > 0 ? 0 : 1;
}

main(process.argv[2]).then((status) => process.exit(status));
