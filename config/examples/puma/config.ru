# Says which worker answered.  /slow takes two seconds: what a stop must not cut.
run lambda { |environment|
  sleep 2 if environment["PATH_INFO"] == "/slow"
  worker = ENV.fetch("REUSEPORTD_WORKER", "?")
  [200, { "Content-Type" => "text/plain; charset=utf-8", "X-Worker" => worker },
   ["Hello from puma: worker #{worker}, process #{Process.pid}.\n"]]
}
