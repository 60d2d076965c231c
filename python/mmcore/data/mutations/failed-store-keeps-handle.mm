machine nodes=1 pages=1
zs_open 1
thread A
  zs_put 0 size=24
thread B
  zs_check 0
