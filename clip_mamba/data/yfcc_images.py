"""Where the pictures of YFCC100M are."""

#: Where the pictures are: the public copy in the Multimedia Commons bucket, or Flickr itself.
IMAGES = {
    "multimedia-commons": "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images"
    "/{a}/{b}/{hash}.jpg",
    "flickr": "{url}",
}


def address(images: str, photoid: int, hash_: str, url: str) -> str:
    """Return where a picture is.

    Args:
        images: A name of :data:`IMAGES` or a template, see :func:`clip_mamba.data.yfcc.join`.
        photoid: The photo.
        hash_: Its hash, from the list.
        url: Flickr's address, from the metadata.

    Returns:
        The address; empty if the template is Flickr's and the metadata has none.
    """
    template = IMAGES.get(images, images)
    return template.format(id=photoid, hash=hash_, a=hash_[:3], b=hash_[3:6], url=url)
