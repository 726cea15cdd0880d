#!/bin/sh
# mmdebstrap's customize hook: make a bare Debian one that boots in qemu and can be reached. $1: the new root.
# From the environment: KEY (a public ssh key), SETTINGS (a directory with files to lay into the root).
set -eu
root=$1

echo debian >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
rm -f "$root/etc/resolv.conf"
echo nameserver 10.0.2.3 >"$root/etc/resolv.conf"
echo '/dev/vda / ext4 defaults,errors=remount-ro 0 1' >"$root/etc/fstab"
cat >"$root/etc/systemd/network/80-dhcp.network" <<'END'
[Match]
Name=en* eth*
[Network]
DHCP=yes
IPv6AcceptRA=yes
END
cat >"$root/etc/systemd/system/vm-ready.service" <<'END'
[Unit]
Description=Tell the host that this machine has booted
After=multi-user.target ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo VM-READY >/dev/ttyS0'
[Install]
WantedBy=multi-user.target
END
# qemu takes kernel and initrd from the host: what packages want to make anew here (minutes, emulated) is never read.
sed -i 's/^update_initramfs=.*/update_initramfs=no/' "$root/etc/initramfs-tools/update-initramfs.conf"
# The console has a root shell for scripts/test-vm --console; nobody else can reach it.
mkdir -p "$root/etc/systemd/system/serial-getty@ttyS0.service.d"
printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %%I $TERM\n' \
    >"$root/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf"

chroot "$root" useradd --create-home --shell /bin/bash --groups sudo user
echo 'user ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/user"
chmod 0440 "$root/etc/sudoers.d/user"
for home in root home/user; do
    mkdir -p -m 0700 "$root/$home/.ssh"
    echo "$KEY" >"$root/$home/.ssh/authorized_keys"
done
chroot "$root" chown -R user:user /home/user
(cd "$SETTINGS" && find . -type f) | while read -r file; do
    mkdir -p "$root/$(dirname "$file")"
    cp "$SETTINGS/$file" "$root/$file"
done
chroot "$root" update-ca-certificates >/dev/null 2>&1
chroot "$root" systemctl --quiet enable systemd-networkd ssh vm-ready
chroot "$root" systemctl --quiet mask systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer
