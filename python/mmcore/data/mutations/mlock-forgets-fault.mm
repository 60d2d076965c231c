machine nodes=1
map r0 anon 1
fillnode 0
thread A
  mlock r0
