machine zs_locking=class zspage_groups=quarters
zs_open 1
zs_put 0 size=24
isolate z0:0
thread A
  migrate z0:0 node=1
thread B
  zs_del 0
