"""Fashion-MNIST, from the files and in the folder that torchvision uses."""

from __future__ import annotations

from prunekit import register

from .mnist import IdxImages, idx_files


@register("fashion_mnist", source="Xiao et al. 2017, arXiv 1708.07747")
class FashionMnist(IdxImages):
    """70,000 pieces of clothing, 28×28 in grey, in ten classes, 10,000 of them for testing. 31 MB to download."""

    subfolder = "FashionMNIST/raw"
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    files = idx_files(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        (
            "25c81989df183df01b3e8a0aad5dffbe",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "bef4ecab320f06d8554ea6380940ec79",
        ),
    )
