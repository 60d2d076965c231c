machine nodes=1 deflate_on_oom=true
thread A
  inflate 9
