machine pages=16
zs_open 1
zs_put 0 size=24
thread A
  zs_check 0
  isolate z0:0
  migrate z0:0 node=1
