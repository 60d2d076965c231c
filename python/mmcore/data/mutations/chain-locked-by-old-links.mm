zs_open 1
zs_put 0 size=24
thread A
  isolate z0:1
  migrate z0:1 node=1
thread B
  zs_del 0
