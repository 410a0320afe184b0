"""One end of an H.323 call over real sockets. The messages were written by an encoder of ASN.1's packed rules, in
hexadecimal below; no free program speaks H.323 any more. Arguments: `called` or `caller`."""
import socket
import sys
import time

CALLER, CALLED = "203.0.113.9", "192.0.2.10"

# RegistrationRequest of the caller, its answer; AdmissionRequest, and whom to call: 192.0.2.10:1721.
RRQ = (
    "0e800001060008914a0004800100cb00710906b80100cb0071099c4022c0b800003d0750616c697361646500310001400400"
    "61006c00690063006560b800003d0750616c69736164650031348b000000020077010001000100"
)
RCF = "12000001060008914a00040100c000020a06b804006500700031268a000002006301000100"
ARQ = (
    "26900003008000650070003101010053300140040061006c00690063006500cb00710906b840028000010001020304050607"
    "08090a0b0c0d0e0f0960200001801100000102030405060708090a0b0c0d0e0f0100"
)
ACF = "2a00000340028000c000020a06b92c00c00001000b8001f80100010001000100"

# Call signalling; Connect says where the control connection is: 192.0.2.10:11720.
SETUP = (
    "0300008008020001057e00740520b8060008914a00040240040061006c006900630065010043322cb800003d0750616c6973"
    "616465003100010180533000c000020a06b900000102030405060708090a0b0c0d0e0f00cd0d80000700cb0071099c411100"
    "000102030405060708090a0b0c0d0e0f010001000100010010800100"
)
ALERTING = (
    "0300004508020001017e0039052380060008914a000422c0b800003d0750616c6973616465003101b0c00011000001020304"
    "05060708090a0b0c0d0e0f0100010010800100"
)
CONNECT = (
    "0300005c08020001077e00500522c0060008914a000400c000020a2dc822c0b800003d0750616c6973616465003100000102"
    "030405060708090a0b0c0d0e0f1d0c001100000102030405060708090a0b0c0d0e0f0100010010800100"
)
RELEASE = "0300002f080200015a7e00230525c0060008914a000458a8001100000102030405060708090a0b0c0d0e0f10800100"

# Both open a channel (reports to 5005 and 6005), and say where media go (5004 and 6004).
OPEN_A = "03000017030000000c2013800a04000100cb007109138d"
OPEN_B = "03000017030000000c2013800a04000100c000020a1775"
ACK_A = "0300001b22c000000680101c0000cb007109138c00cb007109138d"
ACK_B = "0300001b22c000000680101c0000c000020a177400c000020a1775"


def say(stream, message):
    stream.sendall(bytes.fromhex(message))
    time.sleep(0.05)


def hear(stream):
    head = stream.recv(4, socket.MSG_WAITALL)
    stream.recv(int.from_bytes(head[2:], "big") - 4, socket.MSG_WAITALL)


def datagrams(own, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((own, port))
    return s


def media(own, other, port, other_port):
    """Three packets of RTP either way, and a report."""
    rtp, rtcp = datagrams(own, port), datagrams(own, port + 1)
    for n in range(3):
        time.sleep(0.02)
        rtp.sendto(bytes([0x80, 8, 0, n]) + bytes(8) + b"\xd5" * 32, (other, other_port))
    rtcp.sendto(bytes([0x80, 201, 0, 1, 0, 0, 0, port & 255]), (other, other_port + 1))
    time.sleep(0.2)


def called():
    gatekeeper = datagrams(CALLED, 1719)
    signalling, control = socket.create_server((CALLED, 1721)), socket.create_server((CALLED, 11720))
    for answer in (RCF, ACF):
        _, asker = gatekeeper.recvfrom(2000)
        gatekeeper.sendto(bytes.fromhex(answer), asker)
    call, _ = signalling.accept()
    hear(call)
    say(call, ALERTING)
    say(call, CONNECT)
    talk, _ = control.accept()
    hear(talk)
    say(talk, ACK_B)
    say(talk, OPEN_B)
    hear(talk)
    media(CALLED, CALLER, 6004, 5004)
    hear(call)


def caller():
    gatekeeper = datagrams(CALLER, 40000)
    for question in (RRQ, ARQ):
        gatekeeper.sendto(bytes.fromhex(question), (CALLED, 1719))
        gatekeeper.recv(2000)
    call = socket.create_connection((CALLED, 1721), source_address=(CALLER, 40001))
    say(call, SETUP)
    hear(call)
    hear(call)
    talk = socket.create_connection((CALLED, 11720), source_address=(CALLER, 40002))
    say(talk, OPEN_A)
    hear(talk)
    hear(talk)
    say(talk, ACK_A)
    media(CALLER, CALLED, 5004, 6004)
    say(call, RELEASE)


{"called": called, "caller": caller}[sys.argv[1]]()
