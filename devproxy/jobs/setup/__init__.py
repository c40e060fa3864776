"""A host made ready for jobs: modules loaded, device nodes and their links made or repaired, and all of it taken back.

    survey    the host's facts, without asking the GPUs anything: NVML would make nodes by itself
    prepare   facts in, actions out: pure, the same for a recording and for the running machine
    action    what is done, as values: a change from what stands there to what should; turned round it is the undoing
    apply     carries an action out, if what stands there is still what the action says
    journal   what was done, written down before it is done
    persist   a udev rule, a unit and a list of modules, so that the next boot is ready too

Vocabulary and state model are nvidia-modprobe's (nvidia-modprobe-utils.c): a node exists, is the device that its name says, and has the
mode and owner that the driver's parameters say. What nvidia-modprobe does not do: it removes whatever is in a node's place.
"""
