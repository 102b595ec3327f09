# Records the first announce of a client over HTTP and over UDP: python3 record.py CLIENT PORT
# writes CLIENT.http and CLIENT.udp (the datagram of the announce) beside itself, and ends when it has both or after 40 s.
import os, socket, struct, sys, time

name, port = sys.argv[1], int(sys.argv[2])
here = os.path.dirname(os.path.abspath(__file__))
tcp = socket.create_server(("127.0.0.1", port))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", port))
tcp.setblocking(False)
udp.setblocking(False)
got = set()
end = time.monotonic() + 40
while len(got) < 2 and time.monotonic() < end:
    time.sleep(0.01)
    try:
        c, _ = tcp.accept()
        c.settimeout(5)
        request = b""
        while b"\r\n\r\n" not in request:
            request += c.recv(65536)
        body = b"d8:completei0e10:incompletei1e8:intervali1800e5:peers0:e"
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
        c.close()
        if "http" not in got and b"/announce" in request:
            open(os.path.join(here, name + ".http"), "wb").write(request)
            got.add("http")
    except BlockingIOError:
        pass
    try:
        packet, sender = udp.recvfrom(65536)
        action, transaction = struct.unpack(">II", packet[8:16])
        if action == 0:
            udp.sendto(struct.pack(">IIQ", 0, transaction, 7), sender)
        elif action == 1:
            udp.sendto(struct.pack(">IIIII", 1, transaction, 1800, 1, 0), sender)
            if "udp" not in got:
                open(os.path.join(here, name + ".udp"), "wb").write(packet)
                got.add("udp")
    except BlockingIOError:
        pass
print(name, sorted(got))
