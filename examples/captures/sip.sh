#!/usr/bin/env bash
# Makes the captures of SIP in the network of `net.sh`: sipp calls sipp, with a second of media. Needs what that
# needs, and sipp (sip-tester).
set -euo pipefail
. "$(dirname "$0")/net.sh"
learn
cd "$work"
tones=(/usr/share/sip-tester/dtmf_2833_1.pcap /usr/share/sip-tester/dtmf_2833_2.pcap)

# The caller: sipp's own scenario with a tone, and with addresses of media without brackets.
{ sipp -sd uac_pcap || true; } | sed -e "s|pcap/g711a.pcap|${tones[0]}|" -e "s|pcap/dtmf_2833_1.pcap|${tones[1]}|" \
    -e 's|milliseconds="8000"|milliseconds="400"|' -e 's|IN IP\[local_ip_type\] \[local_ip\]|IN IP[media_ip_type] [media_ip]|' \
    > call.xml
cat > register.xml <<'XML'
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="register">
  <send retrans="500"><![CDATA[

      REGISTER sip:[remote_ip] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
      From: <sip:alice@[remote_ip]>;tag=[pid]r[call_number]
      To: <sip:alice@[remote_ip]>
      Call-ID: [call_id]
      CSeq: 1 REGISTER
      Contact: <sip:alice@[local_ip]:[local_port]>
      Expires: 300
      Max-Forwards: 70
      Content-Length: 0

  ]]></send>
  <recv response="200"></recv>
</scenario>
XML
cat > registrar.xml <<'XML'
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="registrar">
  <recv request="REGISTER"></recv>
  <send><![CDATA[

      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:];tag=[pid]s[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      [last_Contact:];expires=120
      Content-Length: 0

  ]]></send>
</scenario>
XML

quiet() { "$@" >/dev/null 2>&1 </dev/null; }
# $1 namespace, $2 its address: answers one call, and echoes its media.
answers() { ip netns exec "$1" sipp -sn uas -i "$2" -p 5060 -mi "$2" -mp 6000 -rtp_echo -nostdin -m 1 "${@:3}"; }
calls() { ip netns exec "$1" sipp -sf call.xml -i "$2" -p "$3" -mi "$2" -mp 20000 -nostdin -m 1 "${@:4}"; }
up() { until ip netns exec "$1" ss -ln"$2" | grep -q ':5060 '; do sleep 0.05; done; }
# $1 caller's address, $2 called, $3 t or u.
call() {
    quiet answers "$srv" "$2" -t "$3"1 &
    local pid=$!
    up "$srv" "$3"
    quiet calls "$out" "$1" 5060 -t "$3"1 "$2:5060"
    wait "$pid"
}
capture sip-call.pcap "udp" call 203.0.113.9 192.0.2.10 u
capture sip-call-tcp.pcap "tcp or udp" call 203.0.113.9 192.0.2.10 t
capture sip-call-v6.pcap "udp" call '[2001:db8:1::9]' '[2001:db8:2::10]' u

# Outside registers with the server, and is called by it.
registered() {
    quiet ip netns exec "$srv" sipp -sf registrar.xml -i 192.0.2.10 -p 5060 -nostdin -m 1 &
    local pid=$!
    up "$srv" u
    quiet ip netns exec "$out" sipp -sf register.xml -i 203.0.113.9 -p 5060 -nostdin -m 1 192.0.2.10:5060
    wait "$pid"
    quiet answers "$out" 203.0.113.9 &
    pid=$!
    up "$out" u
    quiet calls "$srv" 192.0.2.10 5070 203.0.113.9:5060
    wait "$pid"
}
capture sip-registered.pcap "udp" registered
