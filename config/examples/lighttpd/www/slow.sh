printf 'Content-Type: text/plain\r\n\r\n'
sleep 2
echo "Hello from lighttpd, after two seconds."
