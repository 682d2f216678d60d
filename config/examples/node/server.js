'use strict';
// Says which worker answered.  /slow takes two seconds: what a stop must not cut.

const http = require('http');

const worker = process.env.REUSEPORTD_WORKER || '?';

const server = http.createServer((request, response) => {
    const body = `Hello from Node: worker ${worker}, process ${process.pid}.\n`;
    const answer = () => {
        response.setHeader('Content-Type', 'text/plain; charset=utf-8');
        response.setHeader('X-Worker', worker);
        response.end(body);
    };

    if (request.url === '/slow')
        setTimeout(answer, 2000);
    else
        answer();
});

// The socket that reuseportd opened; LISTEN_FDS counts from 3.
server.listen({ fd: 3 });

// Accept no more, answer what was asked, and end when the last connection is closed.
process.on('SIGTERM', () => {
    server.close();
    server.closeIdleConnections?.();
});
