"""faulty-fs.py SOURCE MOUNTPOINT FAULTS: shows a directory at another place, as on a disk that breaks.

FAULTS is a file with lines such as `rename EIO`: each such operation fails with that error. It is read before each
operation. Prints "ready" when the file system is mounted and ends when it is unmounted. Speaks the kernel's protocol
(linux/fuse.h) itself, since no program for it is installed everywhere.
"""
import ctypes
import errno
import os
import stat
import struct
import sys

source, mountpoint, faults = sys.argv[1:]
device = os.open('/dev/fuse', os.O_RDWR)
options = f'fd={device},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other'
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b'faulty', mountpoint.encode(), b'fuse', 0, options.encode()) != 0:
    sys.exit(f'mount: {os.strerror(ctypes.get_errno())}')

paths = {1: source}
numbers = {source: 1}


def number_of(path):
    if path not in numbers:
        numbers[path] = max(paths) + 1
        paths[numbers[path]] = path
    return numbers[path]


def moved(old, new):
    for path, number in list(numbers.items()):
        if path == old or path.startswith(f'{old}/'):
            del numbers[path]
            paths[number] = new + path[len(old):]
    for number, path in paths.items():
        numbers[path] = number


def attributes(found, number):
    nanoseconds = [found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns]
    return struct.pack(
        '<6Q10I', number, found.st_size, found.st_blocks,
        *[time // 10**9 for time in nanoseconds], *[time % 10**9 for time in nanoseconds],
        found.st_mode, found.st_nlink, found.st_uid, found.st_gid, found.st_rdev, found.st_blksize, 0)


def entry(path):
    number = number_of(path)
    return struct.pack('<4Q2I', number, 0, 0, 0, 0, 0) + attributes(os.lstat(path), number)


def names(body):
    return [name.decode() for name in body.split(b'\0')[:-1]]


def child(number, body):
    return f'{paths[number]}/{names(body)[0]}'


def owned(path, caller):
    os.chown(path, *caller, follow_symlinks=False)
    return entry(path)


def init(number, body, caller):
    _, minor, readahead, _ = struct.unpack_from('<4I', body)
    return struct.pack('<4I2H2I2HI7I', 7, min(minor, 31), readahead, 0, 16, 12, 131072, 1, 32, 0, 0, *[0] * 7)


def getattr_(number, body, caller):
    return struct.pack('<Q2I', 0, 0, 0) + attributes(os.lstat(paths[number]), number)


def setattr_(number, body, caller):
    valid, _, handle, size = struct.unpack_from('<2I2Q', body)
    atime, mtime = struct.unpack_from('<2Q', body, 32)
    atime_ns, mtime_ns = struct.unpack_from('<2I', body, 56)
    mode, _, uid, gid = struct.unpack_from('<4I', body, 68)
    path = paths[number]
    if valid & 1:
        os.chmod(path, stat.S_IMODE(mode))
    if valid & 6:
        os.chown(path, uid if valid & 2 else -1, gid if valid & 4 else -1, follow_symlinks=False)
    if valid & 8:
        os.truncate(path, size)
    if valid & 48:
        os.utime(path, ns=(atime * 10**9 + atime_ns, mtime * 10**9 + mtime_ns), follow_symlinks=False)
    return getattr_(number, body, caller)


def mkdir(number, body, caller):
    path = child(number, body[8:])
    os.mkdir(path, struct.unpack_from('<I', body)[0])
    return owned(path, caller)


def mknod(number, body, caller):
    path = child(number, body[16:])
    os.mknod(path, *struct.unpack_from('<2I', body))
    return owned(path, caller)


def symlink(number, body, caller):
    name, target = names(body)
    os.symlink(target, f'{paths[number]}/{name}')
    return owned(f'{paths[number]}/{name}', caller)


def rename(number, body, caller, offset=8):
    target = paths[struct.unpack_from('<Q', body)[0]]
    old, new = names(body[offset:])
    old, new = f'{paths[number]}/{old}', f'{target}/{new}'
    os.rename(old, new)
    paths.pop(numbers.pop(new, None), None)
    moved(old, new)


def remove(work):
    def removing(number, body, caller):
        path = child(number, body)
        work(path)
        numbers.pop(path, None)
    return removing


def open_(number, body, caller):
    flags = struct.unpack_from('<I', body)[0] & ~(os.O_NOFOLLOW | os.O_APPEND)
    return struct.pack('<Q2I', os.open(paths[number], flags), 0, 0)


def create(number, body, caller):
    flags, mode = struct.unpack_from('<2I', body)
    path = child(number, body[16:])
    handle = os.open(path, flags & ~os.O_APPEND, mode)
    return owned(path, caller) + struct.pack('<Q2I', handle, 0, 0)


def read(number, body, caller):
    handle, offset, size = struct.unpack_from('<2QI', body)
    return os.pread(handle, size, offset)


def write(number, body, caller):
    handle, offset, size = struct.unpack_from('<2QI', body)
    return struct.pack('<2I', os.pwrite(handle, body[40:40 + size], offset), 0)


def close(number, body, caller):
    os.close(struct.unpack_from('<Q', body)[0])


def list_(number, body, caller):
    _, offset, size = struct.unpack_from('<2QI', body)
    listed = b''
    for index, name in list(enumerate(['.', '..', *sorted(os.listdir(paths[number]))], 1))[offset:]:
        record = struct.pack('<2Q2I', index, index, len(name.encode()), 0) + name.encode()
        record += b'\0' * (-len(record) % 8)
        if len(listed) + len(record) > size:
            break
        listed += record
    return listed


def statfs(number, body, caller):
    found = os.statvfs(paths[number])
    return struct.pack('<5Q10I', found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree,
                       found.f_bsize, found.f_namemax, found.f_frsize, *[0] * 7)


def nothing(number, body, caller):
    return b''


def open_directory(number, body, caller):
    return struct.pack('<Q2I', os.open(paths[number], os.O_RDONLY), 0, 0)


operations = {
    1: ('lookup', lambda number, body, caller: entry(child(number, body))),
    3: ('getattr', getattr_),
    4: ('setattr', setattr_),
    5: ('readlink', lambda number, body, caller: os.readlink(paths[number]).encode()),
    6: ('symlink', symlink),
    8: ('create', mknod),
    9: ('mkdir', mkdir),
    10: ('unlink', remove(os.unlink)),
    11: ('rmdir', remove(os.rmdir)),
    12: ('rename', rename),
    14: ('open', open_),
    15: ('read', read),
    16: ('write', write),
    17: ('statfs', statfs),
    18: ('release', close),
    20: ('fsync', nothing),
    25: ('flush', nothing),
    26: ('init', init),
    27: ('opendir', open_directory),
    28: ('readdir', list_),
    29: ('releasedir', close),
    30: ('fsync', nothing),
    35: ('create', create),
    45: ('rename', lambda number, body, caller: rename(number, body, caller, 16)),
}

# Operations that have no answer: forget, interrupt, batch_forget.
silent = [2, 36, 42]


def error_of(name):
    with open(faults) as lines:
        wanted = dict(line.split() for line in lines)
    return getattr(errno, wanted[name]) if name in wanted else None


print('ready', flush=True)
while True:
    try:
        request = os.read(device, 2**20)
    except OSError as failure:
        if failure.errno in (errno.ENOENT, errno.EINTR):
            continue
        # Unmounted.
        break
    _, opcode, unique, number, uid, gid = struct.unpack_from('<2I2Q2I', request)
    if opcode in silent:
        continue
    error, answer = 0, b''
    try:
        name, work = operations.get(opcode, ('unknown', None))
        error = errno.ENOSYS if work is None else error_of(name) or 0
        if error == 0:
            answer = work(number, request[40:], (uid, gid)) or b''
    except OSError as failure:
        error = failure.errno
    except KeyError:
        error = errno.ESTALE
    try:
        os.write(device, struct.pack('<IiQ', 16 + len(answer), -error, unique) + answer)
    except OSError:
        # The caller was killed.
        pass
