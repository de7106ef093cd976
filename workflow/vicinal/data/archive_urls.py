"""The published archives of the downloaded data sets: addresses and checksums."""

from dataclasses import dataclass

_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/"
# The authors' own copies; torchvision's address of the same files has no https.
_FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"


@dataclass(frozen=True)
class Archive:
    """A published file."""

    md5: str  # as its authors publish it; part of the data set's identity
    sha256: str  # that the file is checked against
    size: int  # in bytes
    url: str  # https only


ARCHIVES: dict[str, dict[str, Archive]] = {
    "cifar10": {
        "cifar-10-python.tar.gz": Archive(
            "c58f30108f718f92721af3b95e74349a",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            170_498_071,
            _CIFAR_URL + "cifar-10-python.tar.gz",
        ),
    },
    "cifar100": {
        "cifar-100-python.tar.gz": Archive(
            "eb9058c3a382ffc7106e4002c42a8d85",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            169_001_437,
            _CIFAR_URL + "cifar-100-python.tar.gz",
        ),
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte.gz": Archive(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26_421_880,
            _FASHION_URL + "train-images-idx3-ubyte.gz",
        ),
        "train-labels-idx1-ubyte.gz": Archive(
            "25c81989df183df01b3e8a0aad5dffbe",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            29_515,
            _FASHION_URL + "train-labels-idx1-ubyte.gz",
        ),
        "t10k-images-idx3-ubyte.gz": Archive(
            "bef4ecab320f06d8554ea6380940ec79",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            4_422_102,
            _FASHION_URL + "t10k-images-idx3-ubyte.gz",
        ),
        "t10k-labels-idx1-ubyte.gz": Archive(
            "bb300cfdad3c16e7a12a480ee83cd310",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            5_148,
            _FASHION_URL + "t10k-labels-idx1-ubyte.gz",
        ),
    },
}
