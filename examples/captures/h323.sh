#!/usr/bin/env bash
# Makes h323.pcap, a call between two ends of `h323.py` in the network of `net.sh`. Needs what that needs, and python3.
set -euo pipefail
. "$(dirname "$0")/net.sh"
learn
ip netns exec "$srv" python3 "$here/h323.py" called &
until ip netns exec "$srv" ss -ltn | grep -q ":11720 "; do sleep 0.05; done
capture h323.pcap "udp or tcp" ip netns exec "$out" python3 "$here/h323.py" caller
ls -l "$here/h323.pcap"
