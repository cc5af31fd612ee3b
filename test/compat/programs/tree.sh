#!/bin/sh
# Leaves processes behind, one of them in a session of its own, and hangs.
sleep 4321 &
setsid sleep 4321 &
sleep 4321
