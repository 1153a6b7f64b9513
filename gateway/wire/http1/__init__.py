"""The HTTP/1.1 edge: heads by llhttp, everything else here, one task a request between the bytes and the app."""
