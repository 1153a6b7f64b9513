"""The HTTP/1.1 edge: request heads by llhttp, everything else here, nothing between a request and the app but one task."""
