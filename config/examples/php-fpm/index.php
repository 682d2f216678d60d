<?php
// Says which worker answered.  ?slow takes two seconds: what a stop must not cut.
if (isset($_GET['slow']))
    sleep(2);
header('Content-Type: text/plain; charset=utf-8');
header('X-Worker: ' . getenv('REUSEPORTD_WORKER'));
echo 'Hello from PHP: worker ', getenv('REUSEPORTD_WORKER'), ', process ', getmypid(), ".\n";
