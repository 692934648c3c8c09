import type { Duplex } from 'node:stream'

/** The largest line, in bytes. */
export const maxLine = 5 << 20

/** Calls receive with each line of the stream, without its end. A line may come in any number of chunks. */
export function readLines(stream: Duplex, receive: (line: string) => void): void {
  let rest: Buffer[] = []
  let size = 0
  stream.on('data', (chunk: Buffer) => {
    const end = chunk.lastIndexOf(0x0a)
    if (end < 0) {
      rest.push(chunk)
      size += chunk.length
      if (size > maxLine) stream.destroy(new Error(`received a line of more than ${maxLine} bytes`))
      return
    }
    // Decoded up to a line end, no character is torn.
    let text = chunk.toString('utf8', 0, end)
    if (size > 0) {
      rest.push(chunk.subarray(0, end))
      text = Buffer.concat(rest).toString('utf8')
      rest = []
    }
    size = chunk.length - end - 1
    if (size > 0) rest.push(chunk.subarray(end + 1))
    for (const line of text.split('\n')) {
      if (line !== '') receive(line)
    }
  })
}

/** Returns a function that writes a line. All lines of one turn of the event loop are one write. */
export function lineWriter(stream: Duplex): (line: string) => void {
  let lines = ''
  const flush = () => {
    const text = lines
    lines = ''
    if (stream.writable) stream.write(text, 'utf8')
  }
  return (line) => {
    if (lines === '') setImmediate(flush)
    lines += line + '\n'
  }
}
