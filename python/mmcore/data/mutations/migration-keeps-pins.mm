machine pages=16 zs_locking=class zspage_groups=quarters
zs_open 2
zs_put 0 size=8
zs_put 1 size=8
thread A
  zs_put 1 size=24
thread B
  isolate z0:0
  migrate z0:0 node=1
