// Linux numbers of xattr(7), x86-64.

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
export const XATTR_USER_PREFIX_LEN = 5;
export const XATTR_SYSTEM_PREFIX_LEN = 7;
export const XATTR_TRUSTED_PREFIX_LEN = 8;
export const XATTR_SECURITY_PREFIX_LEN = 9;
export const XATTR_NAME_MAX = 0xff;
export const XATTR_LIST_MAX = 0x10000;
export const XATTR_SIZE_MAX = 0x10000;
export const XATTR_CAPS_SUFFIX = 'capability';
export const XATTR_NAME_CAPS = 'security.capability';
export const XATTR_NAME_POSIX_ACL_ACCESS = 'system.posix_acl_access';
export const XATTR_NAME_POSIX_ACL_DEFAULT = 'system.posix_acl_default';
export const XATTR_NAME_SELINUX = 'security.selinux';
export const XATTR_POSIX_ACL_ACCESS = 'posix_acl_access';
export const XATTR_POSIX_ACL_DEFAULT = 'posix_acl_default';
export const XATTR_SECURITY_PREFIX = 'security.';
export const XATTR_SELINUX_SUFFIX = 'selinux';
export const XATTR_SYSTEM_PREFIX = 'system.';
export const XATTR_TRUSTED_PREFIX = 'trusted.';
export const XATTR_USER_PREFIX = 'user.';
