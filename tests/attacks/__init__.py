"""Images and bundles that want out: what they try, what a host looks like before and after, and who is given them.

`scene` is one bundle with a canary beside it; `catalogue` and what it is made of are the attacks; `ways` runs a bundle
with devproxy as root, in the older ways, as an ordinary user and in memory; `peers` gives it to runc and crun.
"""
